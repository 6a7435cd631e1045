"""Where labelled and unlabelled photos come from: folders on disk and the procedural substation yard."""
