//! Support for the end-to-end suites and the benchmarks.
