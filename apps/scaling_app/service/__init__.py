"""What people and viewers see: REST, report and page; views, and the notes that people send."""
