"""The optimization lab: what each way to train costs and brings, for one's own data, model and machine, measured.

`combinations` says which ways there are, `starting` starts a measurement and finds its figures again, `laboratory` is
the job that measures, `trial` the process in which one way is tried by `bench`: none shares memory with another.
"""
