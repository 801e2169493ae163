-- Whose each local document is: a client that may only read changes none but its own.
ALTER TABLE localsrv_local ADD COLUMN writer TEXT;  -- the grant that made it; NULL: the server, or not known
