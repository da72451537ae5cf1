"""THE STATE OF A STUDIES FOLDER: options, structures, splits, labels, trainings, the curve job. Knows no MONAI Label."""
