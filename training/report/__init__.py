"""Result files to tables, figures, the report and the generated parts of the documents."""
