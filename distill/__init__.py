"""The student: a few hundred kilobytes that rank as the teacher does."""
