"""The tables of the pages, made of benchmarks/results: python -m benchmarks.pages"""
