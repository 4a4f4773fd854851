"""The rules that decide a verdict, each with the evidence that it rests on; diagnose/verdict.py has their order."""
