"""`diffusers:REFERENCE`: every pipeline of `AutoPipelineForText2Image` that draws from a text alone."""
