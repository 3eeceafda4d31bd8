"""Joins edgetuned devices through Flower.

A node asks the daemon at its Unix socket; the server has the program merge what the nodes gave, and the nodes measure
the heads. Only sums and numbers travel.
"""
