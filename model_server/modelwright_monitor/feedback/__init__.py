"""Labels that come back, over HTTP: `listener` reads requests, `intake` takes the labels in them."""
