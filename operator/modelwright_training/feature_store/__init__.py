"""Stage features: a Feast repository's features joined to the training rows, as they were at each row's time.

It runs in an image of its own, since Feast pins other releases of what training needs, and has no credentials: fetch
brings the repository's files. No code of the repository is run: of its registry only views, services and entities are
taken on, never the functions that on-demand and stream views carry, which are pickled.

    rows         the tables' side: times, join keys, what goes where (needs no Feast)
    registry     what is asked for, checked, in a registry of its own without code
    offline      a view's file, cleaned for Feast
    history      Feast's point-in-time join
    stage        the stage
"""
