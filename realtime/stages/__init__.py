"""What runs in a child process: one thin module a stage, wired as ``realtime/pipeline.py`` says."""
