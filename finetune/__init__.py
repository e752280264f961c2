"""Fine-tunes a pretrained BERT on labelled comments and writes a checkpoint that `export` reads."""
