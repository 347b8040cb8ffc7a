"""Rules by which synapses change, one file a rule: STDP, the sensors of BrainScaleS-2, short-term plasticity."""
