//! The layer against servers of its own, without a manager.
