// Zooming and moving a picture by wheel, double click, pinch and keys.
