"""What trainings leave behind: their folders, logs and plots, and the authors' own curves to compare with."""
