"""Which volumes are subtracted: telling phases apart, their order, and when contrast arrived."""
