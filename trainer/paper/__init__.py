"""The paper rebuilt, part by part, and measured by protocols that it did not use.

The paper is "Using Convolutional Neural Networks for Automatic White Blood Cell Cancer Detection from Bone Marrow
Microscopic Images", after Kumar et al., IEEE Access 2020. Its parts, each usable by itself:

==================================== ================================================================
:mod:`trainer.paper.fields`          fields of a manifest as small square pictures, borders left out
:mod:`trainer.paper.augmentation`    rotation by 90 degrees and edge maps
:mod:`trainer.paper.features`        colour histogram and discrete Fourier transform
:mod:`trainer.paper.selection`       the K best features by the chi-square statistic
:mod:`trainer.networks.paper`        its network
:mod:`trainer.networks.vgg16`        VGG-16, transferred
:mod:`trainer.paper.systems`         the systems that it compares, behind one protocol
:mod:`trainer.paper.protocols`       as in the paper, by field, by group or laboratory
:mod:`trainer.paper.controls`        readers of shortcuts alone
:mod:`trainer.paper.measures`        Table 2's figures with bootstrap intervals
:mod:`trainer.paper.parts`           one system in one task by one protocol
:mod:`trainer.paper.compare`         all of it in one run that can be resumed
:mod:`trainer.paper.lines`           what a line of a table says, and whether a shortcut explains it
:mod:`trainer.paper.tables`          Tables 2 and 3
:mod:`trainer.paper.figures`         confusion matrices, losses, ROC, precision-recall, bars
==================================== ================================================================
"""
