"""Everything that this project draws itself; frozen, read by nobody who studies mmJSD."""
