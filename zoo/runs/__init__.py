"""The folders, logs and plots of trainings, and the authors' own curves to compare them with."""
