CREATE TABLE meta ( -- ledgers with rows here; self = 1: this file
  ledger BLOB PRIMARY KEY CHECK (length(ledger) = 16),
  self INTEGER NOT NULL CHECK (self IN (0, 1)),
  format TEXT NOT NULL, host TEXT NOT NULL, build TEXT NOT NULL, at_ns INTEGER NOT NULL,
  genesis BLOB NOT NULL CHECK (length(genesis) = 32)
) STRICT, WITHOUT ROWID;
CREATE TABLE blob (
  id INTEGER PRIMARY KEY,
  digest BLOB NOT NULL UNIQUE CHECK (length(digest) = 32),
  salt BLOB, -- 16 random bytes; empty if public; NULL once erased
  size INTEGER NOT NULL, -- of the plain bytes
  media TEXT NOT NULL, -- text/plain, application/json, x-i32le, x-f32le, x-bits
  enc TEXT NOT NULL CHECK (enc IN ('raw', 'zstd')),
  data BLOB -- NULL once erased
) STRICT;
CREATE TABLE run ( -- fixed at birth
  run BLOB PRIMARY KEY CHECK (length(run) = 16), -- UUIDv7
  origin BLOB NOT NULL REFERENCES meta(ledger),
  parent BLOB, parent_seq INTEGER NOT NULL, -- branch point, or NULL and 0
  relation TEXT NOT NULL CHECK (relation IN ('root','subagent','fork','retry','replay','resume')),
  thread TEXT NOT NULL, task TEXT NOT NULL, -- one conversation; the caller's task id or ''
  grp TEXT NOT NULL, sample INTEGER NOT NULL, -- attempts compared with each other
  at_ns INTEGER NOT NULL,
  genesis BLOB NOT NULL CHECK (length(genesis) = 32)
) STRICT, WITHOUT ROWID;
CREATE TABLE event (
  run BLOB NOT NULL REFERENCES run(run),
  seq INTEGER NOT NULL CHECK (seq >= 1),
  kind TEXT NOT NULL CHECK ((seq = 1) = (kind = 'run.start')),
  step INTEGER NOT NULL, -- turn number, 0 before the first
  ref INTEGER NOT NULL CHECK (ref BETWEEN 0 AND seq - 1), -- event answered, or 0
  call BLOB CHECK (length(call) = 32), -- ToolCall.Digest
  at_ns INTEGER NOT NULL, mono_ns INTEGER NOT NULL, -- wall clock; since run.start
  payload TEXT NOT NULL CHECK (json_valid(payload)), -- the bytes that were hashed
  prev BLOB NOT NULL, hash BLOB NOT NULL CHECK (length(hash) = 32),
  PRIMARY KEY (run, seq)
) STRICT, WITHOUT ROWID;
CREATE INDEX event_ref ON event(run, ref, kind) WHERE ref > 0;
CREATE INDEX event_call ON event(run, call, kind) WHERE call IS NOT NULL;
CREATE INDEX event_kind ON event(kind, run);
CREATE TABLE head ( -- per ledger, one chain over its runs' tips
  origin BLOB NOT NULL REFERENCES meta(ledger),
  n INTEGER NOT NULL CHECK (n >= 1),
  reason TEXT NOT NULL CHECK (reason IN ('open','mark','close','import')),
  subject BLOB NOT NULL, -- a run; for 'import' a ledger
  seq INTEGER NOT NULL, tip BLOB NOT NULL, -- its last seq or n, and the hash there
  at_ns INTEGER NOT NULL,
  prev BLOB NOT NULL, hash BLOB NOT NULL CHECK (length(hash) = 32),
  PRIMARY KEY (origin, n)
) STRICT, WITHOUT ROWID;
CREATE TABLE checkpoint ( -- a signed note, and where a copy went or ''
  id INTEGER PRIMARY KEY, origin BLOB NOT NULL, n INTEGER NOT NULL, note TEXT NOT NULL,
  anchor TEXT NOT NULL, at_ns INTEGER NOT NULL, FOREIGN KEY (origin, n) REFERENCES head(origin, n)
) STRICT;

-- A client may have recursive_triggers off, and REPLACE then removes rows without
-- firing a delete trigger: each _add refuses every collision a REPLACE could resolve.
CREATE TRIGGER meta_upd BEFORE UPDATE ON meta BEGIN SELECT RAISE(ABORT, 'append only'); END;
CREATE TRIGGER meta_del BEFORE DELETE ON meta BEGIN SELECT RAISE(ABORT, 'append only'); END;
CREATE TRIGGER meta_add BEFORE INSERT ON meta
  WHEN EXISTS (SELECT 1 FROM meta WHERE ledger = NEW.ledger OR self + NEW.self = 2)
  BEGIN SELECT RAISE(ABORT, 'exists'); END;
CREATE TRIGGER run_upd BEFORE UPDATE ON run BEGIN SELECT RAISE(ABORT, 'append only'); END;
CREATE TRIGGER run_del BEFORE DELETE ON run BEGIN SELECT RAISE(ABORT, 'append only'); END;
CREATE TRIGGER run_add BEFORE INSERT ON run WHEN EXISTS (SELECT 1 FROM run WHERE run = NEW.run)
  BEGIN SELECT RAISE(ABORT, 'exists'); END;
CREATE TRIGGER event_upd BEFORE UPDATE ON event BEGIN SELECT RAISE(ABORT, 'append only'); END;
CREATE TRIGGER event_del BEFORE DELETE ON event BEGIN SELECT RAISE(ABORT, 'append only'); END;
CREATE TRIGGER event_add BEFORE INSERT ON event
  WHEN EXISTS (SELECT 1 FROM event WHERE run = NEW.run AND seq = NEW.seq)
  BEGIN SELECT RAISE(ABORT, 'exists'); END;
CREATE TRIGGER head_upd BEFORE UPDATE ON head BEGIN SELECT RAISE(ABORT, 'append only'); END;
CREATE TRIGGER head_del BEFORE DELETE ON head BEGIN SELECT RAISE(ABORT, 'append only'); END;
CREATE TRIGGER head_add BEFORE INSERT ON head
  WHEN EXISTS (SELECT 1 FROM head WHERE origin = NEW.origin AND n = NEW.n)
  BEGIN SELECT RAISE(ABORT, 'exists'); END;
CREATE TRIGGER checkpoint_upd BEFORE UPDATE ON checkpoint BEGIN SELECT RAISE(ABORT, 'append only'); END;
CREATE TRIGGER checkpoint_del BEFORE DELETE ON checkpoint BEGIN SELECT RAISE(ABORT, 'append only'); END;
CREATE TRIGGER checkpoint_add BEFORE INSERT ON checkpoint
  WHEN EXISTS (SELECT 1 FROM checkpoint WHERE id = NEW.id)
  BEGIN SELECT RAISE(ABORT, 'exists'); END;
CREATE TRIGGER blob_upd BEFORE UPDATE ON blob WHEN NEW.data IS NOT NULL OR NEW.salt IS NOT NULL
  OR (NEW.id, NEW.digest, NEW.size, NEW.media, NEW.enc) IS NOT (OLD.id, OLD.digest, OLD.size, OLD.media, OLD.enc)
  BEGIN SELECT RAISE(ABORT, 'a blob can only be erased'); END;
CREATE TRIGGER blob_del BEFORE DELETE ON blob BEGIN SELECT RAISE(ABORT, 'append only'); END;
CREATE TRIGGER blob_add BEFORE INSERT ON blob
  WHEN EXISTS (SELECT 1 FROM blob WHERE id = NEW.id OR digest = NEW.digest)
  BEGIN SELECT RAISE(ABORT, 'exists'); END;

CREATE TRIGGER head_link BEFORE INSERT ON head WHEN NEW.prev IS NOT CASE NEW.n
  WHEN 1 THEN (SELECT genesis FROM meta WHERE ledger = NEW.origin)
  ELSE (SELECT hash FROM head WHERE origin = NEW.origin AND n = NEW.n - 1) END
  BEGIN SELECT RAISE(ABORT, 'broken chain'); END;
CREATE TRIGGER event_link BEFORE INSERT ON event WHEN NEW.prev IS NOT CASE NEW.seq
  WHEN 1 THEN (SELECT genesis FROM run WHERE run = NEW.run)
  ELSE (SELECT hash FROM event WHERE run = NEW.run AND seq = NEW.seq - 1) END
  BEGIN SELECT RAISE(ABORT, 'broken chain'); END;

-- No effect without a committed, allowing decision for exactly that call. Without
-- INDEXED BY the planner would read the whole run for each event.
CREATE TRIGGER event_rule BEFORE INSERT ON event BEGIN
  SELECT RAISE(ABORT, 'run has ended') WHERE NEW.kind NOT IN ('label','score','redact','export')
    AND EXISTS (SELECT 1 FROM event INDEXED BY event_kind WHERE run = NEW.run AND kind = 'run.end');
  SELECT RAISE(ABORT, 'no call named') WHERE NEW.call IS NULL
    AND NEW.kind IN ('decision','call.start','call.ready','call.end');
  SELECT RAISE(ABORT, 'unasked') WHERE NEW.kind = 'answer' AND NOT EXISTS (SELECT 1 FROM event
    WHERE run = NEW.run AND seq = NEW.ref AND kind = 'ask' AND call IS NEW.call);
  SELECT RAISE(ABORT, 'answered twice') WHERE NEW.kind = 'answer' AND EXISTS (SELECT 1 FROM event INDEXED BY event_ref
    WHERE run = NEW.run AND ref = NEW.ref AND ref > 0 AND kind = 'answer' AND payload ->> '$.choice' IS NOT 'suspend');
  SELECT RAISE(ABORT, 'unjudged') WHERE NEW.kind = 'decision' AND NOT EXISTS (SELECT 1 FROM event
    WHERE run = NEW.run AND seq = NEW.ref AND kind IN ('verdict','answer') AND call = NEW.call
    AND (NEW.payload ->> '$.outcome' <> 'allow'
      OR (kind = 'verdict' AND payload ->> '$.outcome' = 'allow')
      OR (kind = 'answer' AND payload ->> '$.choice' IN ('once','run','always'))));
  SELECT RAISE(ABORT, 'overruled') WHERE NEW.kind = 'decision' AND NEW.payload ->> '$.outcome' = 'allow'
    AND EXISTS (SELECT 1 FROM event v INDEXED BY event_call WHERE v.run = NEW.run AND v.call = NEW.call AND v.kind = 'verdict'
      AND v.payload ->> '$.outcome' IS NOT 'allow'
      AND (v.payload ->> '$.outcome' IS NOT 'ask' OR NOT EXISTS (SELECT 1 FROM event a
        WHERE a.run = NEW.run AND a.seq = NEW.ref AND a.kind = 'answer')));
  SELECT RAISE(ABORT, 'decided twice') WHERE NEW.kind IN ('decision','call.start','call.ready','call.end','commit')
    AND EXISTS (SELECT 1 FROM event INDEXED BY event_call WHERE run = NEW.run AND call = NEW.call AND kind = NEW.kind);
  SELECT RAISE(ABORT, 'not allowed') WHERE NEW.kind = 'call.start' AND NOT EXISTS (SELECT 1 FROM event
    WHERE run = NEW.run AND seq = NEW.ref AND kind = 'decision' AND call = NEW.call
    AND payload ->> '$.outcome' = 'allow');
  SELECT RAISE(ABORT, 'undecided') WHERE NEW.kind = 'call.end' AND NOT EXISTS (SELECT 1 FROM event
    WHERE run = NEW.run AND seq = NEW.ref AND kind = 'decision' AND call = NEW.call);
  SELECT RAISE(ABORT, 'not started') WHERE (NEW.kind IN ('call.ready','commit')
      OR (NEW.kind = 'call.end' AND NEW.payload ->> '$.status' IS 'ok'))
    AND NOT EXISTS (SELECT 1 FROM event INDEXED BY event_call
      WHERE run = NEW.run AND call = NEW.call AND kind = 'call.start' AND ref = NEW.ref);
  SELECT RAISE(ABORT, 'already over') WHERE NEW.kind IN ('call.start','call.ready') AND EXISTS (SELECT 1
    FROM event INDEXED BY event_call WHERE run = NEW.run AND call = NEW.call AND kind = 'call.end');
  SELECT RAISE(ABORT, 'used') WHERE NEW.kind IN ('call.start','call.ready','call.end') AND EXISTS (
    SELECT 1 FROM event INDEXED BY event_ref WHERE run = NEW.run AND ref = NEW.ref AND ref > 0 AND kind = NEW.kind);
END;
CREATE VIEW open_call AS SELECT s.run, s.ref AS decision, s.call FROM event s WHERE s.kind = 'call.start'
  AND NOT EXISTS (SELECT 1 FROM event e INDEXED BY event_ref WHERE e.run = s.run AND e.ref = s.ref AND e.ref > 0 AND e.kind = 'call.end');
