-- Words are those of the design: a task holds grants; everything that happens to them is an audit event.

create table taskgrant.tasks (
  id uuid primary key,
  key text,
  purpose text not null,
  state text not null check (state in ('open', 'ending', 'ended')),
  workload_id text not null,
  workload_issuer text not null,
  workload_subject text not null,
  on_behalf_of jsonb,
  actors jsonb not null,
  labels jsonb not null,
  parent_task_id uuid references taskgrant.tasks (id),
  created_at timestamptz not null default now(),
  expires_at timestamptz(3) not null,
  ended_at timestamptz,
  end_reason text,
  check ((state = 'ended') = (ended_at is not null)),
  check ((state = 'open') = (end_reason is null))
);

create unique index tasks_open_key on taskgrant.tasks (workload_issuer, workload_id, key)
  where state = 'open' and key is not null;
create index tasks_due on taskgrant.tasks (expires_at) where state = 'open';
create index tasks_ending on taskgrant.tasks (id) where state = 'ending';
create index tasks_by_workload on taskgrant.tasks (workload_id, id);
create index tasks_by_user on taskgrant.tasks ((on_behalf_of ->> 'id'), id) where on_behalf_of is not null;

create table taskgrant.grants (
  id uuid primary key,
  task_id uuid not null references taskgrant.tasks (id),
  resource text not null,
  access text not null,
  adapter text not null,
  state text not null check (state in ('pending', 'active', 'revoking', 'revoked')),
  handle jsonb not null,
  requested_at timestamptz not null default now(),
  issued_at timestamptz,
  expires_at timestamptz(3) not null,
  -- Until then an issue that was started may still take hold on the backend, so no withdrawal is final before.
  settles_at timestamptz,
  -- When somebody has to look at this grant next. A claim moves it ahead, and so is a lease.
  due_at timestamptz,
  -- When its access was to end: the time of the order, or of its expiry.
  revoking_at timestamptz,
  revoked_at timestamptz,
  removed_at timestamptz,
  revoke_reason text,
  attempts integer not null default 0,
  stuck boolean not null default false,
  last_error text,
  residue text,
  check ((state in ('revoking', 'revoked')) = (revoke_reason is not null)),
  check ((revoke_reason is null) = (revoking_at is null)),
  check ((state = 'revoked') = (revoked_at is not null)),
  check (state = 'revoked' or due_at is not null),
  check (residue is null or (state = 'revoked' and removed_at is null and due_at is not null)),
  check (removed_at is null or due_at is null)
);

create index grants_due on taskgrant.grants (resource, due_at) where due_at is not null;
create index grants_by_task on taskgrant.grants (task_id, id);
create index grants_live on taskgrant.grants (resource, id) where state <> 'revoked';
create index grants_revoking on taskgrant.grants (resource) where state = 'revoking';
create index grants_residue on taskgrant.grants (id) where residue is not null;

-- What a retried minting call made before: the retry withdraws that and mints anew.
create table taskgrant.idempotency_keys (
  workload_issuer text not null,
  workload_id text not null,
  operation text not null,
  key text not null,
  request_hash text not null,
  task_id uuid not null references taskgrant.tasks (id),
  -- Changes with every try, so that an earlier one knows that a later one has taken over.
  attempt_id uuid not null,
  -- Every grant made under this key that may still be alive.
  grant_ids uuid[] not null,
  created_at timestamptz not null default now(),
  primary key (workload_issuer, workload_id, operation, key)
);

create index idempotency_keys_by_task on taskgrant.idempotency_keys (task_id);
create index idempotency_keys_by_age on taskgrant.idempotency_keys (created_at);

create table taskgrant.audit_events (
  id bigint generated always as identity primary key,
  -- The place in the one order that readers follow, given after commit: a late commit cannot fall behind a reader.
  seq bigint,
  occurred_at timestamptz not null default now(),
  type text not null,
  action text,
  decision text check (decision in ('allow', 'deny')),
  policies text[],
  policy_set text,
  workload jsonb,
  on_behalf_of jsonb,
  actors jsonb,
  performed_by jsonb not null,
  task_id uuid,
  purpose text,
  labels jsonb,
  grant_id uuid,
  resource text,
  access text,
  adapter text,
  handle jsonb,
  reason text,
  error text,
  request_id text,
  trace_id text,
  detail jsonb
);

create unique index audit_events_seq on taskgrant.audit_events (seq) where seq is not null;
create index audit_events_unsequenced on taskgrant.audit_events (id) where seq is null;
create index audit_events_by_task on taskgrant.audit_events (task_id, id) where task_id is not null;
create index audit_events_by_grant on taskgrant.audit_events (grant_id, id) where grant_id is not null;
create index audit_events_by_workload on taskgrant.audit_events ((workload ->> 'id'), id);
create index audit_events_by_user on taskgrant.audit_events ((on_behalf_of ->> 'id'), id) where on_behalf_of is not null;
create index audit_events_by_resource on taskgrant.audit_events (resource, id) where resource is not null;
create index audit_events_by_time on taskgrant.audit_events using brin (occurred_at);

-- Append-only: an event may be given its place, once, and nothing else about it ever changes.
create function taskgrant.audit_events_append_only() returns trigger language plpgsql as $$
declare
  place bigint;
begin
  if tg_op = 'UPDATE' and old.seq is null and new.seq is not null then
    place := new.seq;
    new.seq := null;
    if new is not distinct from old then
      new.seq := place;
      return new;
    end if;
  end if;
  raise exception 'audit events are append-only' using errcode = '42501';
end
$$;

create trigger audit_events_append_only before update or delete on taskgrant.audit_events
  for each row execute function taskgrant.audit_events_append_only();
create trigger audit_events_no_truncate before truncate on taskgrant.audit_events
  for each statement execute function taskgrant.audit_events_append_only();
