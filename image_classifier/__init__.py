"""Train, evaluate and use an image classifier on a folder of photographs."""
