"""What people type (`main` has the list) and how stages are run; nothing imports this package."""
