"""What people and scripts read of a result: JSON, pages, pictures, tables."""
