"""What shows people that work goes on, and tables."""
