"""What a search tells, kept in other people's books: TensorBoard, MLflow, Weights & Biases."""
