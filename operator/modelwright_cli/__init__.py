"""kubectl modelwright: what people ask of models from a terminal."""
