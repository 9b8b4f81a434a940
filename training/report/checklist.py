"""Items of CLAIM and TRIPOD+AI that a reviewer looks for, each with where this project answers it.

CLAIM is numbered as in Mongan, Moy and Kahn 2020 (PMC8017414), TRIPOD+AI as in Collins 2024 (BMJ 2024;385:e078378).
"""

from __future__ import annotations

from typing import NamedTuple


class Item(NamedTuple):
    """What is asked, by which standard and item number, and the answer in a sentence."""

    asked: str
    standard: str
    answer: str


ITEMS: tuple[Item, ...] = (
    Item(
        "Title and aim name the AI method and its use",
        "CLAIM 1, 4; TRIPOD+AI 1, 4",
        "Stroke presence and subtype on non-contrast head CT slices with StrokeNeXt; research use, not a "
        "medical device.",
    ),
    Item(
        "Study design",
        "CLAIM 5; TRIPOD+AI 5",
        "Retrospective development and evaluation on public, anonymised data; no prospective or reader study "
        "is claimed.",
    ),
    Item(
        "Flow and characteristics of participants",
        "CLAIM 33, 34; TRIPOD+AI 20",
        "Images, patients and classes per source in counts.md, what was left out in left_out.csv, slices and patients "
        "of every test part in the tables. The sources give no age, sex or scanner by slice.",
    ),
    Item(
        "Class imbalance and the threshold",
        "TRIPOD+AI 13, 15",
        "Classes are balanced within each source while training; the threshold and the indeterminate band are chosen "
        "on validation patients, and the probability is recalibrated there.",
    ),
    Item(
        "Registration, protocol, funding, ethics, public involvement",
        "CLAIM 40 to 42; TRIPOD+AI 17 to 19",
        "None was registered and no protocol was written beforehand. Public anonymised data alone, under their "
        "publishers' approvals; no patients or public took part; no funding is declared.",
    ),
    Item(
        "Data sources, eligibility, exclusions",
        "CLAIM 7, 8; TRIPOD+AI 5, 6",
        "Per source in counts.md; every file left out is listed with its reason in left_out.csv by `prepare`.",
    ),
    Item(
        "Preprocessing",
        "CLAIM 9, 10; TRIPOD+AI 7",
        "One frozen record stored with the weights: window, framing, grey level, channels, size.",
    ),
    Item(
        "De-identification and missing data",
        "CLAIM 12, 13; TRIPOD+AI 11",
        "No patient tag is kept after decoding. Unlabelled slices three or more from an annotated one"
        " serve as negatives where a recipe says `away_negatives`, else none does; unknown patients are grouped by"
        " near duplicate.",
    ),
    Item(
        "Reference standard and its quality",
        "CLAIM 14 to 18; TRIPOD+AI 8",
        "The publishers' labels. Known noise: slice labels of ct_ich were mapped by rank; masks of phe_sich "
        "mark edema, not blood; no second reading was made for this project.",
    ),
    Item(
        "Sample size",
        "CLAIM 19; TRIPOD+AI 10",
        "All available cases; the uncertainty is shown as 95 % bootstrap intervals over patients.",
    ),
    Item(
        "Partitions and their level",
        "CLAIM 20, 21; TRIPOD+AI 5, 12",
        "Split files by patient and near-duplicate group, audited for leakage; the paper's image-level split "
        "is reported beside them with the gap.",
    ),
    Item(
        "Model, initialisation, software",
        "CLAIM 22 to 24; TRIPOD+AI 12",
        "Architecture by zoo row with exact parameter count; versions and hardware in each result file.",
    ),
    Item(
        "Training and selection of the final model",
        "CLAIM 25 to 27; TRIPOD+AI 12",
        "Recipes in training/recipes; checkpoint, temperature, threshold and band chosen on validation only.",
    ),
    Item(
        "Performance measures with uncertainty",
        "CLAIM 28, 29, 36; TRIPOD+AI 12, 23",
        "AUROC, AUPRC, sensitivity, specificity, F1, MCC, Brier, ECE, slope, net benefit; intervals over "
        "patients; Holm correction for comparisons.",
    ),
    Item(
        "Robustness and sensitivity analysis",
        "CLAIM 30; TRIPOD+AI 14",
        "Leave one source out, unseen sources, per hemorrhage type, and a control trained on random labels.",
    ),
    Item(
        "Explainability and its validation",
        "CLAIM 31",
        "Grad-CAM checked against lesion masks and a centre prior, under mirroring, shuffled weights, "
        "deletion and insertion.",
    ),
    Item(
        "External testing",
        "CLAIM 32; TRIPOD+AI 5",
        'The part "external" and the left-out sources. No threshold, temperature or checkpoint was chosen by them; '
        "their scores were seen during development.",
    ),
    Item(
        "Failure analysis",
        "CLAIM 37; TRIPOD+AI 23",
        "Rates by class, source and type; the gallery of worst errors is drawn locally with `report --gallery`.",
    ),
    Item(
        "Fairness",
        "TRIPOD+AI 3, 14",
        "The public sources give no age, sex or ethnicity by slice, so no subgroup result can be shown; this "
        "is a limit.",
    ),
    Item(
        "Limitations",
        "CLAIM 38; TRIPOD+AI 25, 26",
        "Few sources, trauma among the hemorrhages, simulated infarcts in place of real ones in training, "
        "slices instead of whole examinations.",
    ),
    Item(
        "Availability",
        "CLAIM 41; TRIPOD+AI 18",
        "Code, recipes, plans, result files and checkpoints are in the repository, the data at its publishers'. Splits "
        "follow from their seeds; each result names the hash of its split and manifest.",
    ),
    Item(
        "Calibration and clinical utility",
        "TRIPOD+AI 12, 23",
        "Reliability before and after temperature scaling; decision curves; PPV and NPV over prevalence.",
    ),
)
