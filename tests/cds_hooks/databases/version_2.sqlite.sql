-- A database of schema version 2, written by the program of that time under two keys:
-- two cards with explanation, suggestion, feedback and audit lines, the second half after a rotation.
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
INSERT INTO "audit" VALUES(1,'2026-11-23T12:00:00+00:00','database created','{"schema":2}','811d0da4e1ba','0000000000000000000000000000000000000000000000000000000000000000','1d603aeb1f0bcdea9cbdd9877cfe6ed42c4aa165c9e030cf1963a93ab87b9f5f');
INSERT INTO "audit" VALUES(2,'2026-11-23T12:00:00+00:00','hook answered','{"n":0}','811d0da4e1ba','47c026f84b9b828360373556b751dbb3d8c171019c504a0cb07bb5e0a6171b63','738452e9494dc416e3115fc0c4719efa13c390d38a7e46f6235ff569e292ce09');
INSERT INTO "audit" VALUES(3,'2026-11-23T12:00:00+00:00','feedback received','{"issuer":"https://ehr.example","repeated":0,"service":"meam-risk","stored":1}','811d0da4e1ba','088103e6d61990deb589d965c90726e82e33425ae24a4aa55a84679a183d25e6','51f227d701d10b2ad5d01264c112664a48d1bfb791cefe4cb6a4ab2157ebed37');
INSERT INTO "audit" VALUES(4,'2026-11-24T12:00:00+00:00','hook answered','{"n":1}','cbd69c38af1c','6d3afa040e8e8a881caed5c6321441ddce2060baceaaa9182245d0c23c8e8476','ae92f4fbb31d55fb33175f7ed7b7ec38b7d04062ff7c17f28495df1b2f3565ba');
INSERT INTO "audit" VALUES(5,'2026-11-24T12:00:00+00:00','feedback received','{"issuer":"https://ehr.example","repeated":0,"service":"meam-risk","stored":1}','cbd69c38af1c','8089c083582fcaabc424b0c8fa58aa8cbd65ddb44f69051f1a66fee69be66563','500068bee70b1bb03bca015d48e5f86f2a499ed44bad490d0cb0f87c1b25c805');
CREATE TABLE audit_head (
	sequence INTEGER NOT NULL, 
	seal VARCHAR(64) NOT NULL, 
	PRIMARY KEY (sequence)
);
INSERT INTO "audit_head" VALUES(5,'bccadb0334cef4dbb5b46def3ece03bb0395b1b54f114cb200552c8e6dcd8be4');
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
INSERT INTO "cards" VALUES('4e0a3a1e-3283-4575-ab82-028d55fe2719',1795435200.0,'meam-risk','7f3a0d6e-0b1e-4b53-9a50-0a8f5a1b2c3d','https://ehr.example','f3519e48dea93552884a74a9bd91e66f58bbf1da53ff1edef24f9ac71dd8a6b4','warning','meam-risk 0.1.0','["structured/lactate", "note/0/1"]',1);
INSERT INTO "cards" VALUES('c9f4a1f0-58c9-4c6f-a5a7-1c0b9b0c6f11',1795521600.0,'meam-risk','7f3a0d6e-0b1e-4b53-9a50-0a8f5a1b2c3d','https://ehr.example','f3519e48dea93552884a74a9bd91e66f58bbf1da53ff1edef24f9ac71dd8a6b4','warning','meam-risk 0.1.0','["structured/lactate", "note/0/1"]',1);
CREATE TABLE explanations (
	card_uuid VARCHAR(36) NOT NULL, 
	created_s FLOAT NOT NULL, 
	expires_s FLOAT NOT NULL, 
	payload BLOB NOT NULL, 
	PRIMARY KEY (card_uuid)
);
INSERT INTO "explanations" VALUES('4e0a3a1e-3283-4575-ab82-028d55fe2719',1795435200.0,1795521600.0,X'4D32811D0DA4E1BAD6A7E18AA6E72EF29C1AAC28793603862622D3563235FAFE894517198B1055FD31825555BA022986B2');
INSERT INTO "explanations" VALUES('c9f4a1f0-58c9-4c6f-a5a7-1c0b9b0c6f11',1795521600.0,1795608000.0,X'4D32CBD69C38AF1C34A61372799C3817B711507711C3DB767A2535ACF9B17B1F96D4B9C93A9BA59A856B23E01E6D474810');
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
	known_suggestions BOOLEAN DEFAULT 0 NOT NULL, 
	PRIMARY KEY (fingerprint)
);
INSERT INTO "feedback" VALUES('33799ce5877a4d8abbb1865aa132c6afff7ff335d3cd7c9ef52cd5b437831263',1795435200.0,'meam-risk','https://ehr.example','4e0a3a1e-3283-4575-ab82-028d55fe2719',1,'accepted','2026-11-23T12:01:00Z','["e56e1945-20b3-4393-8503-a1a20fd73152"]',NULL,NULL,NULL,1);
INSERT INTO "feedback" VALUES('cf6be741dc19a57b00c3fc5267a3c4412280a375a12829adf5bdfb1c05cf34ee',1795521600.0,'meam-risk','https://ehr.example','c9f4a1f0-58c9-4c6f-a5a7-1c0b9b0c6f11',1,'overridden','2026-11-24T12:01:00Z','[]','cds-not-applicable','http://terminology.hl7.org/CodeSystem/non-adherence-reason-codes',X'4D32CBD69C38AF1C4076014389975F48F1A4A36D101814496247EE729E48CF22646DCF9834C2CF506E288AFF9856A208FDA675D3D61C119D2529C233B4B4C2A814',1);
CREATE TABLE lasting_secrets (
	name VARCHAR(64) NOT NULL, 
	secret BLOB NOT NULL, 
	PRIMARY KEY (name)
);
INSERT INTO "lasting_secrets" VALUES('patient fingerprint',X'4D32811D0DA4E1BADDAC863694CF89387DC865AE78E39BE116276AECA24EC66337501C9A3D067F82579B987009273E859A44F2ECB74D0A98E7297BA63E4E1C650EDCE4F6');
INSERT INTO "lasting_secrets" VALUES('fingerprints',X'4D32811D0DA4E1BA012400303F0B7041D36B4910185845C911C31D04496AA7D8F9B596936EDEC043D95A9D2D6BCCA23B3B00808E79EA4AAD31703743912316398D9923B4');
INSERT INTO "lasting_secrets" VALUES('audit chain 811d0da4e1ba',X'4D32811D0DA4E1BAE6E4F9BBD0503EE226BAC60D9AA8B574557CDF7568DC175867E7076A61D9D70EA1BCDA8E3751861A7982D260AF8C812E95EC09DC33E4FAE2F59BC0AC');
INSERT INTO "lasting_secrets" VALUES('audit chain cbd69c38af1c',X'4D32CBD69C38AF1CA22EFFEFEF161FF7B1A5907C8D5E370134498FE508D0739661D345E77DAA3947E78EB1464F544C3CECDA7CEA3198344261C4619713C1A1AC6521D1DA');
CREATE TABLE meam_schema (
	version INTEGER NOT NULL, 
	PRIMARY KEY (version)
);
INSERT INTO "meam_schema" VALUES(2);
CREATE TABLE replays (
	fingerprint VARCHAR(64) NOT NULL, 
	expires_s FLOAT NOT NULL, 
	PRIMARY KEY (fingerprint)
);
INSERT INTO "replays" VALUES('f25f9ca513201f3b170df9e5d0c6cbfa506bf686a9ebcaf529cab2c4ca6695d3',1795435500.0);
INSERT INTO "replays" VALUES('37ff9918e74c2e8125a8f25929a204a544780c612d733a3d97c30c1fa52baca1',1795521900.0);
CREATE TABLE shown_findings (
	fingerprint VARCHAR(64) NOT NULL, 
	shown_s FLOAT NOT NULL, 
	payload BLOB NOT NULL, 
	PRIMARY KEY (fingerprint)
);
CREATE TABLE suggestions (
	suggestion_uuid VARCHAR(36) NOT NULL, 
	card_uuid VARCHAR(36) NOT NULL, 
	PRIMARY KEY (suggestion_uuid)
);
INSERT INTO "suggestions" VALUES('e56e1945-20b3-4393-8503-a1a20fd73152','4e0a3a1e-3283-4575-ab82-028d55fe2719');
INSERT INTO "suggestions" VALUES('0c0f7f6e-55c7-4b8e-8f39-6f0f6c3b9f10','c9f4a1f0-58c9-4c6f-a5a7-1c0b9b0c6f11');
CREATE INDEX ix_explanations_expires_s ON explanations (expires_s);
CREATE INDEX ix_cards_created_s ON cards (created_s);
CREATE INDEX ix_suggestions_card_uuid ON suggestions (card_uuid);
CREATE INDEX ix_feedback_received_s ON feedback (received_s);
CREATE INDEX ix_feedback_card_uuid ON feedback (card_uuid);
CREATE INDEX ix_replays_expires_s ON replays (expires_s);
CREATE INDEX ix_shown_findings_shown_s ON shown_findings (shown_s);
COMMIT;
