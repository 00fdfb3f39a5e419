"""Generation: planning a round, the engines that complete requests, and restartable shards and waves.

Here: how candidates come to be. Not here: which of them are good (discriminators/).
"""
