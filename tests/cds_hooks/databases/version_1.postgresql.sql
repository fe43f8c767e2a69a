-- A database of schema version 1, written by the program of that time under two keys:
-- two cards with explanation, feedback and audit lines, the second half after a rotation.
CREATE TABLE audit (
    sequence integer NOT NULL,
    at character varying(40) NOT NULL,
    event character varying(32) NOT NULL,
    facts text NOT NULL,
    key_id character varying(16) NOT NULL,
    previous character varying(64) NOT NULL,
    signature character varying(64) NOT NULL
);
CREATE TABLE cards (
    card_uuid character varying(36) NOT NULL,
    created_s double precision NOT NULL,
    service_id character varying(64) NOT NULL,
    hook_instance character varying(64) NOT NULL,
    issuer text NOT NULL,
    patient character varying(64) NOT NULL,
    indicator character varying(16) NOT NULL,
    model text NOT NULL,
    drivers text NOT NULL,
    shown boolean NOT NULL
);
CREATE TABLE explanations (
    card_uuid character varying(36) NOT NULL,
    created_s double precision NOT NULL,
    expires_s double precision NOT NULL,
    payload bytea NOT NULL
);
CREATE TABLE feedback (
    fingerprint character varying(64) NOT NULL,
    received_s double precision NOT NULL,
    service_id character varying(64) NOT NULL,
    issuer text NOT NULL,
    card_uuid character varying(128) NOT NULL,
    known_card boolean NOT NULL,
    outcome character varying(16) NOT NULL,
    outcome_timestamp character varying(64) NOT NULL,
    accepted text NOT NULL,
    reason_code text,
    reason_system text,
    comment bytea
);
CREATE TABLE meam_schema (
    version integer NOT NULL
);
CREATE SEQUENCE meam_schema_version_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE meam_schema_version_seq OWNED BY meam_schema.version;
CREATE TABLE replays (
    fingerprint character varying(64) NOT NULL,
    expires_s double precision NOT NULL
);
CREATE TABLE suggestions (
    suggestion_uuid character varying(36) NOT NULL,
    card_uuid character varying(36) NOT NULL
);
ALTER TABLE ONLY meam_schema ALTER COLUMN version SET DEFAULT nextval('meam_schema_version_seq'::regclass);
INSERT INTO audit VALUES (1, '2026-11-23T12:00:00+00:00', 'hook answered', '{"n":0}', '811d0da4e1ba', '0000000000000000000000000000000000000000000000000000000000000000', '513428ad815ad5244d6f9ffa7f80e9b82666089b0e12df1bfb1607e91f1a1c29');
INSERT INTO audit VALUES (2, '2026-11-23T12:00:00+00:00', 'feedback received', '{"issuer":"https://ehr.example","repeated":0,"service":"meam-risk","stored":1}', '811d0da4e1ba', '513428ad815ad5244d6f9ffa7f80e9b82666089b0e12df1bfb1607e91f1a1c29', 'fb5dfc43974725d313e890103134b2bcda6f0af5f8acfb006424799f0097e624');
INSERT INTO audit VALUES (3, '2026-11-24T12:00:00+00:00', 'hook answered', '{"n":1}', 'cbd69c38af1c', 'fb5dfc43974725d313e890103134b2bcda6f0af5f8acfb006424799f0097e624', '31ccd65253cb9cf4eae71fca3efe18b1bad4348056049f4c19d2bd9f19da4857');
INSERT INTO audit VALUES (4, '2026-11-24T12:00:00+00:00', 'feedback received', '{"issuer":"https://ehr.example","repeated":0,"service":"meam-risk","stored":1}', 'cbd69c38af1c', '31ccd65253cb9cf4eae71fca3efe18b1bad4348056049f4c19d2bd9f19da4857', '3563130e87fb0df576ead97568e9069bd7c42b873ddb2cfe4bb80095d0f35bff');
INSERT INTO cards VALUES ('4e0a3a1e-3283-4575-ab82-028d55fe2719', 1795435200, 'meam-risk', '7f3a0d6e-0b1e-4b53-9a50-0a8f5a1b2c3d', 'https://ehr.example', 'b89c1bc1e43b080c52ac75d8362dc8c4e37149dc804e47c4fd94afc930802efe', 'warning', 'meam-risk 1', '["structured/lactate", "note/0/1"]', true);
INSERT INTO cards VALUES ('c9f4a1f0-58c9-4c6f-a5a7-1c0b9b0c6f11', 1795521600, 'meam-risk', '7f3a0d6e-0b1e-4b53-9a50-0a8f5a1b2c3d', 'https://ehr.example', 'db590579086037d4dfdb64cbf40d60a27e20d4c4357e67d1f57f09ccda83c605', 'warning', 'meam-risk 1', '["structured/lactate", "note/0/1"]', true);
INSERT INTO explanations VALUES ('4e0a3a1e-3283-4575-ab82-028d55fe2719', 1795435200, 1795521600, '\x6741414141414272424e536f396b79685f6a4165587966463174543234506759374b3451706e45754e47463442486376683679306e5131437a786e6e537a577543796a47352d6a626546546b736d4e7631684e636b654e6477396f58727050496c773d3d');
INSERT INTO explanations VALUES ('c9f4a1f0-58c9-4c6f-a5a7-1c0b9b0c6f11', 1795521600, 1795608000, '\x6741414141414272424e536f507a32752d2d307a433861446e7534625556455650654f6263746239657a74417350473546334c6e58724b37664b3377624a795a6879524c6579484a717238717553674e6c586c6539476350764d51665a2d517176413d3d');
INSERT INTO feedback VALUES ('986972486c6d14471c7ae261b1b9d69e0504fd65c842d8d10f7df125910d8c1a', 1795435200, 'meam-risk', 'https://ehr.example', '4e0a3a1e-3283-4575-ab82-028d55fe2719', true, 'accepted', '2026-11-23T12:01:00Z', '["e56e1945-20b3-4393-8503-a1a20fd73152"]', NULL, NULL, NULL);
INSERT INTO feedback VALUES ('31045732d1928eba65f0d339432e9cd128c729b9f2688dcae267ef0b4b2efa12', 1795521600, 'meam-risk', 'https://ehr.example', 'c9f4a1f0-58c9-4c6f-a5a7-1c0b9b0c6f11', true, 'overridden', '2026-11-24T12:01:00Z', '[]', 'cds-not-applicable', 'http://terminology.hl7.org/CodeSystem/non-adherence-reason-codes', '\x6741414141414272424e536f696f576574584b705879445939364b38775555397830355f3565416e714643344650715f496766644a744c456736696677343961624558696b54784d596971376473386f485539454276664c705f616c50774c6541784e4e31426e33556c38316845314b766d662d755a633d');
INSERT INTO meam_schema VALUES (1);
INSERT INTO replays VALUES ('f25f9ca513201f3b170df9e5d0c6cbfa506bf686a9ebcaf529cab2c4ca6695d3', 1795435500);
INSERT INTO replays VALUES ('37ff9918e74c2e8125a8f25929a204a544780c612d733a3d97c30c1fa52baca1', 1795521900);
INSERT INTO suggestions VALUES ('e56e1945-20b3-4393-8503-a1a20fd73152', '4e0a3a1e-3283-4575-ab82-028d55fe2719');
SELECT pg_catalog.setval('meam_schema_version_seq', 1, false);
ALTER TABLE ONLY audit
    ADD CONSTRAINT audit_pkey PRIMARY KEY (sequence);
ALTER TABLE ONLY cards
    ADD CONSTRAINT cards_pkey PRIMARY KEY (card_uuid);
ALTER TABLE ONLY explanations
    ADD CONSTRAINT explanations_pkey PRIMARY KEY (card_uuid);
ALTER TABLE ONLY feedback
    ADD CONSTRAINT feedback_pkey PRIMARY KEY (fingerprint);
ALTER TABLE ONLY meam_schema
    ADD CONSTRAINT meam_schema_pkey PRIMARY KEY (version);
ALTER TABLE ONLY replays
    ADD CONSTRAINT replays_pkey PRIMARY KEY (fingerprint);
ALTER TABLE ONLY suggestions
    ADD CONSTRAINT suggestions_pkey PRIMARY KEY (suggestion_uuid);
CREATE INDEX ix_cards_created_s ON cards USING btree (created_s);
CREATE INDEX ix_explanations_expires_s ON explanations USING btree (expires_s);
CREATE INDEX ix_feedback_card_uuid ON feedback USING btree (card_uuid);
CREATE INDEX ix_feedback_received_s ON feedback USING btree (received_s);
CREATE INDEX ix_replays_expires_s ON replays USING btree (expires_s);
CREATE INDEX ix_suggestions_card_uuid ON suggestions USING btree (card_uuid);
