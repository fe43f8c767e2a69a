-- A database of schema version 1, written by the program of that time under two keys:
-- two cards with explanation, feedback and audit lines, the second half after a rotation.
BEGIN TRANSACTION;
CREATE TABLE audit (
	sequence INTEGER NOT NULL,
	at VARCHAR(40) NOT NULL,
	event VARCHAR(32) NOT NULL,
	facts TEXT NOT NULL,
	key_id VARCHAR(16) NOT NULL,
	previous VARCHAR(64) NOT NULL,
	signature VARCHAR(64) NOT NULL,
	PRIMARY KEY (sequence)
);
INSERT INTO "audit" VALUES(1,'2026-11-23T12:00:00+00:00','hook answered','{"n":0}','811d0da4e1ba','0000000000000000000000000000000000000000000000000000000000000000','513428ad815ad5244d6f9ffa7f80e9b82666089b0e12df1bfb1607e91f1a1c29');
INSERT INTO "audit" VALUES(2,'2026-11-23T12:00:00+00:00','feedback received','{"issuer":"https://ehr.example","repeated":0,"service":"meam-risk","stored":1}','811d0da4e1ba','513428ad815ad5244d6f9ffa7f80e9b82666089b0e12df1bfb1607e91f1a1c29','fb5dfc43974725d313e890103134b2bcda6f0af5f8acfb006424799f0097e624');
INSERT INTO "audit" VALUES(3,'2026-11-24T12:00:00+00:00','hook answered','{"n":1}','cbd69c38af1c','fb5dfc43974725d313e890103134b2bcda6f0af5f8acfb006424799f0097e624','31ccd65253cb9cf4eae71fca3efe18b1bad4348056049f4c19d2bd9f19da4857');
INSERT INTO "audit" VALUES(4,'2026-11-24T12:00:00+00:00','feedback received','{"issuer":"https://ehr.example","repeated":0,"service":"meam-risk","stored":1}','cbd69c38af1c','31ccd65253cb9cf4eae71fca3efe18b1bad4348056049f4c19d2bd9f19da4857','3563130e87fb0df576ead97568e9069bd7c42b873ddb2cfe4bb80095d0f35bff');
CREATE TABLE cards (
	card_uuid VARCHAR(36) NOT NULL,
	created_s FLOAT NOT NULL,
	service_id VARCHAR(64) NOT NULL,
	hook_instance VARCHAR(64) NOT NULL,
	issuer TEXT NOT NULL,
	patient VARCHAR(64) NOT NULL,
	indicator VARCHAR(16) NOT NULL,
	model TEXT NOT NULL,
	drivers TEXT NOT NULL,
	shown BOOLEAN NOT NULL,
	PRIMARY KEY (card_uuid)
);
INSERT INTO "cards" VALUES('4e0a3a1e-3283-4575-ab82-028d55fe2719',1795435200.0,'meam-risk','7f3a0d6e-0b1e-4b53-9a50-0a8f5a1b2c3d','https://ehr.example','b89c1bc1e43b080c52ac75d8362dc8c4e37149dc804e47c4fd94afc930802efe','warning','meam-risk 1','["structured/lactate", "note/0/1"]',1);
INSERT INTO "cards" VALUES('c9f4a1f0-58c9-4c6f-a5a7-1c0b9b0c6f11',1795521600.0,'meam-risk','7f3a0d6e-0b1e-4b53-9a50-0a8f5a1b2c3d','https://ehr.example','db590579086037d4dfdb64cbf40d60a27e20d4c4357e67d1f57f09ccda83c605','warning','meam-risk 1','["structured/lactate", "note/0/1"]',1);
CREATE TABLE explanations (
	card_uuid VARCHAR(36) NOT NULL,
	created_s FLOAT NOT NULL,
	expires_s FLOAT NOT NULL,
	payload BLOB NOT NULL,
	PRIMARY KEY (card_uuid)
);
INSERT INTO "explanations" VALUES('4e0a3a1e-3283-4575-ab82-028d55fe2719',1795435200.0,1795521600.0,X'6741414141414272424E53715275714F647045305043615F4F5249714B5658447253663873706E55714474313745372D6A4843582D697372775568532D622D6F61367075446C304A4C4B6851586A7343336C6B69704A367A4546382D34764D584E773D3D');
INSERT INTO "explanations" VALUES('c9f4a1f0-58c9-4c6f-a5a7-1c0b9b0c6f11',1795521600.0,1795608000.0,X'6741414141414272424E53714D554C666463794A2D763863566841515474414355355049792D36673230356A37746E774E72455669646B79354C4E485A724C59464853777A4235615F6B55583946534761704972336A6E54664F6F545A56363976413D3D');
CREATE TABLE feedback (
	fingerprint VARCHAR(64) NOT NULL,
	received_s FLOAT NOT NULL,
	service_id VARCHAR(64) NOT NULL,
	issuer TEXT NOT NULL,
	card_uuid VARCHAR(128) NOT NULL,
	known_card BOOLEAN NOT NULL,
	outcome VARCHAR(16) NOT NULL,
	outcome_timestamp VARCHAR(64) NOT NULL,
	accepted TEXT NOT NULL,
	reason_code TEXT,
	reason_system TEXT,
	comment BLOB,
	PRIMARY KEY (fingerprint)
);
INSERT INTO "feedback" VALUES('986972486c6d14471c7ae261b1b9d69e0504fd65c842d8d10f7df125910d8c1a',1795435200.0,'meam-risk','https://ehr.example','4e0a3a1e-3283-4575-ab82-028d55fe2719',1,'accepted','2026-11-23T12:01:00Z','["e56e1945-20b3-4393-8503-a1a20fd73152"]',NULL,NULL,NULL);
INSERT INTO "feedback" VALUES('31045732d1928eba65f0d339432e9cd128c729b9f2688dcae267ef0b4b2efa12',1795521600.0,'meam-risk','https://ehr.example','c9f4a1f0-58c9-4c6f-a5a7-1c0b9b0c6f11',1,'overridden','2026-11-24T12:01:00Z','[]','cds-not-applicable','http://terminology.hl7.org/CodeSystem/non-adherence-reason-codes',X'6741414141414272424E537157466757655A66725643715744693655546D44345276735F755F644144706E50715F7A7261433746386C566866586D4A54425F6D3931464137774D32357A4A417052304D59674659483838696A566536506D573868676A526C48635A76496F364A334E79376B55773070733D');
CREATE TABLE meam_schema (
	version INTEGER NOT NULL,
	PRIMARY KEY (version)
);
INSERT INTO "meam_schema" VALUES(1);
CREATE TABLE replays (
	fingerprint VARCHAR(64) NOT NULL,
	expires_s FLOAT NOT NULL,
	PRIMARY KEY (fingerprint)
);
INSERT INTO "replays" VALUES('f25f9ca513201f3b170df9e5d0c6cbfa506bf686a9ebcaf529cab2c4ca6695d3',1795435500.0);
INSERT INTO "replays" VALUES('37ff9918e74c2e8125a8f25929a204a544780c612d733a3d97c30c1fa52baca1',1795521900.0);
CREATE TABLE suggestions (
	suggestion_uuid VARCHAR(36) NOT NULL,
	card_uuid VARCHAR(36) NOT NULL,
	PRIMARY KEY (suggestion_uuid)
);
INSERT INTO "suggestions" VALUES('e56e1945-20b3-4393-8503-a1a20fd73152','4e0a3a1e-3283-4575-ab82-028d55fe2719');
CREATE INDEX ix_explanations_expires_s ON explanations (expires_s);
CREATE INDEX ix_cards_created_s ON cards (created_s);
CREATE INDEX ix_suggestions_card_uuid ON suggestions (card_uuid);
CREATE INDEX ix_feedback_card_uuid ON feedback (card_uuid);
CREATE INDEX ix_feedback_received_s ON feedback (received_s);
CREATE INDEX ix_replays_expires_s ON replays (expires_s);
COMMIT;
