PRAGMA application_id=1554061934;
PRAGMA user_version=5;
BEGIN TRANSACTION;
CREATE TABLE agreements (
	image_id VARCHAR NOT NULL, 
	reader VARCHAR NOT NULL, 
	structure VARCHAR NOT NULL, 
	label_hash VARCHAR NOT NULL, 
	against_reader VARCHAR NOT NULL, 
	against_hash VARCHAR NOT NULL, 
	dice FLOAT, 
	nsd FLOAT, 
	nsd_tolerance_mm FLOAT NOT NULL, 
	one_only BOOLEAN NOT NULL, 
	PRIMARY KEY (image_id, reader, structure)
);
INSERT INTO "agreements" VALUES('a','bert','organ','hash-a2','anna','hash-a',0.9,0.95,2.0,0);
CREATE TABLE blind_assignments (
	image_id VARCHAR NOT NULL, 
	blind BOOLEAN NOT NULL, 
	PRIMARY KEY (image_id)
);
INSERT INTO "blind_assignments" VALUES('b',1);
CREATE TABLE cases (
	image_id VARCHAR NOT NULL, 
	label_hash VARCHAR NOT NULL, 
	saved_at VARCHAR(32) NOT NULL, 
	patient VARCHAR NOT NULL, 
	annotator VARCHAR, 
	blind BOOLEAN NOT NULL, 
	assisted BOOLEAN NOT NULL, 
	sampling_weight FLOAT, 
	PRIMARY KEY (image_id)
);
INSERT INTO "cases" VALUES('a','hash-a2','2026-01-31T12:00:00.000000+00:00','p-a','bert',0,1,NULL);
INSERT INTO "cases" VALUES('b','hash-b','2026-01-31T12:00:00.000000+00:00','p-b','anna',0,0,NULL);
INSERT INTO "cases" VALUES('c','hash-c','2026-01-31T12:00:00.000000+00:00','p-c','anna',0,0,NULL);
INSERT INTO "cases" VALUES('d','hash-d','2026-01-31T12:00:00.000000+00:00','p-d','anna',0,0,NULL);
CREATE TABLE checked_images (
	image_id VARCHAR NOT NULL, 
	stamp VARCHAR NOT NULL, 
	facts TEXT NOT NULL, 
	PRIMARY KEY (image_id)
);
CREATE TABLE coverage (
	id INTEGER NOT NULL CHECK (id = 1), 
	made_from VARCHAR NOT NULL, 
	complete BOOLEAN NOT NULL, 
	model VARCHAR, 
	n_labelled INTEGER NOT NULL, 
	PRIMARY KEY (id)
);
CREATE TABLE coverage_cases (
	position INTEGER NOT NULL, 
	image_id VARCHAR NOT NULL, 
	distance FLOAT NOT NULL, 
	outside BOOLEAN NOT NULL, 
	PRIMARY KEY (position)
);
CREATE TABLE curve_blocks (
	curve_size INTEGER NOT NULL, 
	position INTEGER NOT NULL, 
	image_id VARCHAR NOT NULL, 
	PRIMARY KEY (curve_size, position)
);
INSERT INTO "curve_blocks" VALUES(5,0,'a');
INSERT INTO "curve_blocks" VALUES(5,1,'b');
CREATE TABLE doubts (
	id INTEGER NOT NULL, 
	image_id VARCHAR NOT NULL, 
	label_hash VARCHAR NOT NULL, 
	kind VARCHAR NOT NULL, 
	sentence TEXT NOT NULL, 
	raised_at VARCHAR(32) NOT NULL, 
	confirmed_at VARCHAR(32), 
	PRIMARY KEY (id), 
	FOREIGN KEY(image_id) REFERENCES cases (image_id) ON DELETE CASCADE
);
INSERT INTO "doubts" VALUES(1,'c','hash-c','volume','Too large.','2026-01-31T12:00:00.000000+00:00',NULL);
INSERT INTO "doubts" VALUES(2,'d','hash-d','volume','Too large.','2026-01-31T12:00:00.000000+00:00','2026-11-30T09:27:44.943962+00:00');
CREATE TABLE exposures (
	id INTEGER NOT NULL, 
	image_id VARCHAR NOT NULL, 
	client VARCHAR, 
	at VARCHAR(32) NOT NULL, 
	label_by VARCHAR, 
	PRIMARY KEY (id)
);
INSERT INTO "exposures" VALUES(1,'a','viewer','2026-01-31T12:00:00.000000+00:00',NULL);
CREATE TABLE forecasts (
	id INTEGER NOT NULL, 
	revision INTEGER NOT NULL, 
	made_at VARCHAR(32) NOT NULL, 
	n_in_curve INTEGER GENERATED ALWAYS AS (json_extract(payload, '$.n_in_curve')) STORED, 
	evidence TEXT GENERATED ALWAYS AS (coalesce(json_extract(payload, '$.evidence'), '')) STORED, 
	levels TEXT GENERATED ALWAYS AS (CASE WHEN json_type(payload, '$.overall.now.mean') IN ('real', 'integer') THEN json_object(
'now', json_extract(payload, '$.overall.now'), 'forecast', json_extract(payload, '$.overall.forecast')) END) STORED, 
	recipe TEXT GENERATED ALWAYS AS (json_extract(payload, '$.recipe')) STORED, 
	payload TEXT NOT NULL, 
	PRIMARY KEY (id)
);
CREATE TABLE label_names (
	image_id VARCHAR NOT NULL, 
	position INTEGER NOT NULL, 
	name VARCHAR NOT NULL, 
	value INTEGER NOT NULL, 
	PRIMARY KEY (image_id, position), 
	FOREIGN KEY(image_id) REFERENCES label_notes (image_id) ON DELETE CASCADE
);
CREATE TABLE label_notes (
	image_id VARCHAR NOT NULL, 
	label_hash VARCHAR NOT NULL, 
	path VARCHAR, 
	changed_ns INTEGER, 
	bytes INTEGER, 
	PRIMARY KEY (image_id)
);
CREATE TABLE label_volumes (
	image_id VARCHAR NOT NULL, 
	value INTEGER NOT NULL, 
	ml FLOAT NOT NULL, 
	PRIMARY KEY (image_id, value), 
	FOREIGN KEY(image_id) REFERENCES label_notes (image_id) ON DELETE CASCADE
);
CREATE TABLE labels (
	id INTEGER NOT NULL, 
	image_id VARCHAR NOT NULL, 
	label_hash VARCHAR NOT NULL, 
	saved_at VARCHAR(32) NOT NULL, 
	replaced_at VARCHAR(32), 
	annotator VARCHAR, 
	assisted BOOLEAN NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "labels" VALUES(1,'a','hash-a','2026-01-31T12:00:00.000000+00:00','2026-01-31T12:00:00.000000+00:00','anna',0);
INSERT INTO "labels" VALUES(2,'b','hash-b','2026-01-31T12:00:00.000000+00:00',NULL,'anna',0);
INSERT INTO "labels" VALUES(3,'c','hash-c','2026-01-31T12:00:00.000000+00:00',NULL,'anna',0);
INSERT INTO "labels" VALUES(4,'d','hash-d','2026-01-31T12:00:00.000000+00:00',NULL,'anna',0);
INSERT INTO "labels" VALUES(5,'a','hash-a2','2026-01-31T12:00:00.000000+00:00',NULL,'bert',1);
CREATE TABLE leases (
	image_id VARCHAR NOT NULL, 
	reader VARCHAR NOT NULL, 
	at VARCHAR(32) NOT NULL, 
	ended BOOLEAN NOT NULL, 
	PRIMARY KEY (image_id)
);
INSERT INTO "leases" VALUES('c','bert','2026-01-31T12:00:00.000000+00:00',0);
CREATE TABLE minutes (
	image_id VARCHAR NOT NULL, 
	minutes FLOAT NOT NULL CHECK (minutes >= 0), 
	PRIMARY KEY (image_id)
);
INSERT INTO "minutes" VALUES('a',7.5);
CREATE TABLE observations (
	id INTEGER NOT NULL, 
	run_id VARCHAR NOT NULL, 
	image_id VARCHAR NOT NULL, 
	label_hash VARCHAR NOT NULL, 
	structure VARCHAR NOT NULL, 
	kind VARCHAR NOT NULL, 
	dice FLOAT, 
	nsd FLOAT, 
	nsd_tolerance_mm FLOAT, 
	hd95_mm FLOAT, 
	bce FLOAT, 
	missed BOOLEAN NOT NULL, 
	hallucinated BOOLEAN NOT NULL, 
	assisted BOOLEAN NOT NULL, 
	PRIMARY KEY (id), 
	UNIQUE (run_id, image_id, label_hash, structure, kind), 
	FOREIGN KEY(run_id) REFERENCES runs (run_id) ON DELETE CASCADE
);
INSERT INTO "observations" VALUES(1,'fold-1','b','hash-b','organ','fold',0.8,NULL,NULL,NULL,NULL,0,0,0);
CREATE TABLE readings (
	image_id VARCHAR NOT NULL, 
	reader VARCHAR NOT NULL, 
	asked_at VARCHAR(32), 
	label_hash VARCHAR, 
	saved_at VARCHAR(32), 
	independent BOOLEAN NOT NULL, 
	minutes FLOAT CHECK (minutes >= 0), 
	PRIMARY KEY (image_id, reader)
);
INSERT INTO "readings" VALUES('a','anna',NULL,'hash-a','2026-01-31T12:00:00.000000+00:00',0,NULL);
INSERT INTO "readings" VALUES('b','anna',NULL,'hash-b','2026-01-31T12:00:00.000000+00:00',0,NULL);
INSERT INTO "readings" VALUES('c','anna',NULL,'hash-c','2026-01-31T12:00:00.000000+00:00',0,NULL);
INSERT INTO "readings" VALUES('d','anna',NULL,'hash-d','2026-01-31T12:00:00.000000+00:00',0,NULL);
INSERT INTO "readings" VALUES('a','bert',NULL,'hash-a2','2026-01-31T12:00:00.000000+00:00',0,NULL);
CREATE TABLE roles (
	patient VARCHAR NOT NULL, 
	role VARCHAR NOT NULL, 
	PRIMARY KEY (patient)
);
INSERT INTO "roles" VALUES('p-b','validation');
CREATE TABLE run_cases (
	run_id VARCHAR NOT NULL, 
	position INTEGER NOT NULL, 
	image_id VARCHAR NOT NULL, 
	label_hash VARCHAR, 
	PRIMARY KEY (run_id, position), 
	FOREIGN KEY(run_id) REFERENCES runs (run_id) ON DELETE CASCADE
);
INSERT INTO "run_cases" VALUES('fold-1',0,'a','hash-a2');
INSERT INTO "run_cases" VALUES('fold-1',1,'b','hash-b');
CREATE TABLE runs (
	run_id VARCHAR NOT NULL, 
	purpose VARCHAR NOT NULL, 
	strategy VARCHAR NOT NULL, 
	network VARCHAR NOT NULL, 
	n INTEGER NOT NULL, 
	seed INTEGER NOT NULL, 
	fold INTEGER, 
	settings_hash VARCHAR NOT NULL, 
	started_at VARCHAR(32) NOT NULL, 
	finished_at VARCHAR(32), 
	model_file VARCHAR, 
	parent_run VARCHAR, 
	state VARCHAR NOT NULL, 
	message TEXT, 
	process TEXT, 
	steps INTEGER, 
	ended VARCHAR, 
	max_minutes FLOAT, 
	minutes FLOAT, 
	PRIMARY KEY (run_id), 
	FOREIGN KEY(parent_run) REFERENCES runs (run_id)
);
INSERT INTO "runs" VALUES('fold-1','fold','none','resunet',2,0,0,'settings','2026-01-31T12:00:00.000000+00:00','2026-01-31T12:00:00.000000+00:00',NULL,NULL,'done',NULL,NULL,1250,'time',60.0,NULL);
CREATE TABLE sampling_weights (
	image_id VARCHAR NOT NULL, 
	weight FLOAT NOT NULL CHECK (weight > 0), 
	PRIMARY KEY (image_id)
);
CREATE TABLE settings (
	"key" VARCHAR NOT NULL, 
	value TEXT NOT NULL, 
	PRIMARY KEY ("key")
);
INSERT INTO "settings" VALUES('structures','{"organ": 1}');
CREATE TABLE state (
	id INTEGER NOT NULL CHECK (id = 1), 
	revision INTEGER NOT NULL, 
	job TEXT, 
	PRIMARY KEY (id)
);
INSERT INTO "state" VALUES(1,8,NULL);
CREATE INDEX ix_labels_image_id ON labels (image_id);
CREATE INDEX ix_exposures_image_at ON exposures (image_id, at);
CREATE INDEX ix_forecasts_n_in_curve ON forecasts (n_in_curve, evidence);
CREATE INDEX ix_doubts_image_id ON doubts (image_id);
CREATE INDEX ix_observations_image_id ON observations (image_id);
INSERT INTO forecasts (id, revision, made_at, payload) VALUES (1, 8, '2026-11-30T09:27:44.991929+00:00', '{"n_in_curve": 2, "evidence": "e", "overall": {"now": {"mean": 0.8}, "forecast": []}}');
COMMIT;
