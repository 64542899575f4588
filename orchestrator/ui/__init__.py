"""The local web page: jobs, data, comparisons and reports in a browser on this machine."""
