"""Objectives of training, one file each: what a batch's loss is. Nothing else names an objective."""
