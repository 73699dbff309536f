"""The drift report: what was found of live traffic, as one HTML file that needs nothing else.

gather    the Deployment, and what its sidecars counted
counts    a sidecar's answer, read as if by an enemy
view      what is shown: pure
page      the file; parts: sections, charts, markup, style
"""
