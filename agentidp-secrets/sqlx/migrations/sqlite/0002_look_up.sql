-- A bare key is found by its selector, of its record or of its previous one.
CREATE INDEX agentidp_credentials_selector ON agentidp_credentials (selector)
    WHERE state = 'active' AND selector IS NOT NULL;
CREATE INDEX agentidp_credentials_previous_selector ON agentidp_credentials (previous_selector)
    WHERE state = 'active' AND previous_selector IS NOT NULL;
-- The rows that no key finds: a selector for a look-up has two colons.
CREATE INDEX agentidp_credentials_unfindable ON agentidp_credentials (client_id) WHERE state = 'active' AND (selector IS NULL OR selector NOT LIKE '%::%' OR previous_record IS NOT NULL
    AND (previous_selector IS NULL OR previous_selector NOT LIKE '%::%'));
