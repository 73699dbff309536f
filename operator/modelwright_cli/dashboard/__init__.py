"""The dashboard: what is in a namespace, as pages of a local web server that only reads.

server      who may ask for what; routes
shelf       what the API server said, not older than some seconds
overview, deployment, version, job    a page each: pure
rollout, lineage, pieces, words, frame   what pages are made of: pure
dashboard.css, dashboard.js           served as they are; nothing else is fetched
"""
