"""`python -m consumer doctor`: checks a deployment in one go, and says what is wrong and how to mend it."""
