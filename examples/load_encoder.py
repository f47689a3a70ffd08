"""Loads an encoder pretrained by eosin into torchvision: python examples/load_encoder.py runs/ssl/encoder.pth resnet18"""
import sys
import torch, torchvision

net = getattr(torchvision.models, sys.argv[2])()
net.fc = torch.nn.Identity()
net.load_state_dict(torch.load(sys.argv[1], weights_only=True), strict=True)
print("features", tuple(net.eval()(torch.zeros(1, 3, 224, 224)).shape))
