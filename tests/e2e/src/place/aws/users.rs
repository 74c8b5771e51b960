//! Users of the Cognito pool that the stack makes.

use std::collections::BTreeMap;

use anyhow::Result;
use client::text;
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::calls::Calls;

/// Satisfies the password policy; the pool of a test has no secrets.
const PASSWORD: &str = "Correct-Horse-7-Battery-Staple";

/// The tokens of a sign-in.
#[derive(Debug, Clone)]
pub(crate) struct Tokens {
    pub(crate) access: String,
    pub(crate) id: String,
}

/// The user pool, and the tokens of users who have signed in.
#[derive(Debug)]
pub(super) struct Users {
    pool: String,
    client: String,
    known: Mutex<BTreeMap<String, Tokens>>,
}

impl Users {
    pub(super) fn new(deployed: &Value) -> Result<Self> {
        let (pool, client) = (text(deployed, "userPool")?, text(deployed, "userPoolClient")?);
        Ok(Self { pool, client, known: Mutex::default() })
    }

    /// Signs a user in; creates the user at the first call.
    pub(super) async fn sign_in(&self, calls: &Calls, name: &str) -> Result<Tokens> {
        let known = self.known.lock().get(name).cloned();
        if let Some(tokens) = known {
            return Ok(tokens);
        }
        let email = format!("{}@example.com", name.replace(' ', "-"));
        let user = json!({"UserPoolId": self.pool, "Username": email});
        let mut create = user.clone();
        create["MessageAction"] = json!("SUPPRESS");
        cognito(calls, "AdminCreateUser", &create).await?;
        let mut set = user.clone();
        set["Password"] = json!(PASSWORD);
        set["Permanent"] = json!(true);
        cognito(calls, "AdminSetUserPassword", &set).await?;
        let auth = json!({
            "ClientId": self.client,
            "AuthFlow": "USER_PASSWORD_AUTH",
            "AuthParameters": {"USERNAME": email, "PASSWORD": PASSWORD},
        });
        let answer = cognito(calls, "InitiateAuth", &auth).await?;
        let given = &answer["AuthenticationResult"];
        let tokens = Tokens { access: text(given, "AccessToken")?, id: text(given, "IdToken")? };
        let mut known = self.known.lock();
        known.insert(name.to_owned(), tokens.clone());
        Ok(tokens)
    }
}

async fn cognito(calls: &Calls, operation: &str, body: &Value) -> Result<Value> {
    let target = format!("AWSCognitoIdentityProviderService.{operation}");
    calls.json("cognito-idp", &target, body).await
}
