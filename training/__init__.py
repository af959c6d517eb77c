"""What the trainers of teacher and student share: windows of histories, the schedule of steps, dropout."""
