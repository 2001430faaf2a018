"""What looks at pictures: packs, preprocessing, inference, taxonomy, evaluation. It keeps nothing and knows no keys."""
