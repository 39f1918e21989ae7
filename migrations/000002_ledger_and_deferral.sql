-- Until then nothing can end the access of a grant that is being withdrawn: its backend ends it by its own clock.
alter table taskgrant.grants add column deferred_until timestamptz(3);

-- Credentials that are named by a serial: found by it, and never two with the same.
create unique index grants_by_serial on taskgrant.grants ((handle ->> 'authority'), (handle ->> 'serial'))
  where handle ? 'serial';

-- What signs credentials that others verify. Its row is locked by whoever withdraws or takes a list, so that a list
-- with a larger number never lacks what one with a smaller number has.
create table taskgrant.authorities (
  id text primary key,
  changes bigint not null default 0,
  lists bigint not null default 0
);

create table taskgrant.withdrawn_serials (
  authority text not null references taskgrant.authorities (id),
  serial text not null,
  withdrawn_at timestamptz(3) not null,
  expires_at timestamptz(3) not null,
  primary key (authority, serial)
);

create index withdrawn_serials_by_expiry on taskgrant.withdrawn_serials (authority, expires_at);
