"""Training, evaluation and reporting of every system of the project: `python -m training <stage>`.

prepare -> manifest -> split -> audit -> train -> evaluate -> report, publish; benchmark stands alone.
Each stage is a file that reads the files the stage before it wrote.
"""
