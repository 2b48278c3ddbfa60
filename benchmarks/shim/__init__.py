"""The same contract in chaincode.shim and in Fabric's own Node shim, side by side."""
