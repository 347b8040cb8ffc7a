"""Norse's ready-made nets, time first: small convolutional ones, VGG and MobileNetV2 with LIF neurons in the place of ReLU."""
